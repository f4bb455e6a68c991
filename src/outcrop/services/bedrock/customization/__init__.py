"""What a customization job does once it has been asked for, as the role that it was given."""
