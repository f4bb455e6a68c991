"""Its being here lets the folders below import the modules beside it."""
