// Reads one simulation a line from stdin and answers one verdict a line on stdout.
// `checked` asks for the entry that completes and validates its input; it takes known context keys only.
import { createInterface } from 'node:readline'
import { runSimulation, runUnsafeSimulation } from '@cloud-copilot/iam-simulate'

async function verdict({ checked, simulation }) {
  if (!checked) return runUnsafeSimulation(simulation, {})
  const answer = await runSimulation(simulation, {})
  return answer.resultType === 'error' ? `error: ${answer.errors.message}` : answer.overallResult
}

const verdicts = []
for await (const line of createInterface({ input: process.stdin })) {
  verdicts.push(await verdict(JSON.parse(line)))
}
process.stdout.write(verdicts.map((each) => JSON.stringify(each)).join('\n') + '\n')
