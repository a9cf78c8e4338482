package cli

// SetVersion makes this program a release of that version.
func SetVersion(v string) { version = v }
