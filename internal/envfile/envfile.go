// Package envfile reads files of environment variables as people write them. It knows nothing of
// what they are for.
package envfile

import (
	"fmt"
	"strings"
)

// Parse returns NAME=value for each line of a file, in its order. A line is NAME=value, with blanks
// around, perhaps "export " in front, perhaps quotes around the value and a comment behind it; an
// empty line or one that begins with # says nothing. In double quotes \n, \t, \r, \", \\ and \$ are
// what they are in most such files; single quotes and bare values are taken as they are. A quoted
// value may go over several lines. Nothing is expanded. An error names the line.
func Parse(text string) ([]string, error) {
	var variables []string
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	for line := 1; text != ""; {
		var statement string
		statement, text, _ = strings.Cut(text, "\n")
		here := line
		line++
		statement = strings.TrimSpace(statement)
		if statement == "" || statement[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(statement, "export "); ok {
			statement = strings.TrimSpace(rest)
		}
		name, value, found := strings.Cut(statement, "=")
		name = strings.TrimSpace(name)
		if !found || !ValidName(name) {
			return nil, fmt.Errorf("line %d: %q is not NAME=value", here, statement)
		}
		value = strings.TrimSpace(value)
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			for {
				unquoted, rest, closed := unquote(value)
				if closed {
					if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
						return nil, fmt.Errorf("line %d: there is something after the closing quote: %q", here, rest)
					}
					value = unquoted
					break
				}
				if text == "" {
					return nil, fmt.Errorf("line %d: the quote is never closed", here)
				}
				var more string
				more, text, _ = strings.Cut(text, "\n")
				line++
				value += "\n" + more
			}
		} else if i := strings.Index(value, " #"); i >= 0 {
			value = strings.TrimSpace(value[:i])
		} else if strings.HasPrefix(value, "#") {
			value = ""
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d: the value of %s holds a NUL byte, which no variable can", here, name)
		}
		variables = append(variables, name+"="+value)
	}
	return variables, nil
}

// unquote takes a quoted value apart from what follows it.
func unquote(s string) (value, rest string, closed bool) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			return b.String(), s[i+1:], true
		case c == '\\' && quote == '"' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case '"', '\\', '$':
				b.WriteByte(s[i])
			default:
				b.WriteByte('\\')
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// ValidName says whether a variable can have a name: ASCII letters, digits and underscores, and no
// digit first.
func ValidName(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// ValidPattern says whether a text is the name of a variable, or the beginning of one with * behind
// it.
func ValidPattern(text string) bool {
	begin, all := strings.CutSuffix(text, "*")
	return ValidName(begin) || all && begin == ""
}

// Matching returns the variables of an environment whose names a pattern stands for, each as
// NAME=VALUE.
func Matching(env []string, pattern string) (found []string) {
	begin, all := strings.CutSuffix(pattern, "*")
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		if ValidName(name) && (name == begin || all && strings.HasPrefix(name, begin)) {
			found = append(found, variable)
		}
	}
	return found
}
