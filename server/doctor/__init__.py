"""Looking for what is wrong: settings, machine, database, place of files, certificates. Nothing is changed."""
