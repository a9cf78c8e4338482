package config

import "strings"

// WithoutEffect returns the keys that are set and that nothing acts on yet.
func (c *Config) WithoutEffect() []string {
	var set []string
	for _, k := range c.keys() {
		if strings.HasPrefix(k.path, "tools.") && k.path != "tools.gpg" && c.IsSet(k.path) {
			set = append(set, k.path)
		}
	}
	return set
}
