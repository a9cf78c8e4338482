package config

// Guard says what is done about a repository in which a session left something that the host would run.
type Guard struct{ Git string }

func (g *Guard) keys() []key {
	return []key{
		{path: "guard.git", def: "restore", value: text(&g.Git, oneOf("restore", "warn", "off")), doc: "What is done about hooks, filters and the like that a session leaves in the repository: take them out again, tell of them, or nothing."},
	}
}
