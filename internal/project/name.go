package project

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	idDigits   = 8
	slugLength = 16 // with the prefix and the id a template's name has at most 29 characters; Lima's sockets leave room for 30
)

// ID returns the 8 hexadecimal digits that stand for a path, which should be canonical.
func ID(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:])[:idDigits]
}

// Slug makes a name of at most 16 ASCII letters and digits out of any other: lower case, one hyphen for each run of other
// characters, none at the ends, and "project" when nothing is left.
func Slug(name string) string {
	var slug strings.Builder
	gap := false
	for i := 0; i < len(name) && slug.Len() < slugLength; i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if (c < 'a' || 'z' < c) && (c < '0' || '9' < c) {
			gap = slug.Len() > 0
			continue
		}
		if gap {
			slug.WriteByte('-')
			gap = false
		}
		slug.WriteByte(c)
	}
	if slug.Len() == 0 {
		return "project"
	}
	return strings.TrimSuffix(slug.String()[:min(slug.Len(), slugLength)], "-")
}
