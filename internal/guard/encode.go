package guard

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Names of files are any bytes, and JSON holds text only. A byte that is no text is written as two
// digits behind marker, and so is marker itself. All other names are written as they are.
const marker = '%'

func escape(name string) string {
	if utf8.ValidString(name) && !strings.ContainsRune(name, marker) {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		_, size := utf8.DecodeRuneInString(name[i:])
		if r == marker || r == utf8.RuneError && size == 1 {
			b.WriteByte(marker)
			b.WriteString(hex.EncodeToString([]byte{name[i]}))
			continue
		}
		b.WriteString(name[i : i+size])
	}
	return b.String()
}

// unescape returns what was escaped. Text that nobody has escaped stays as it is.
func unescape(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, string(marker))
		b.WriteString(before)
		if !found {
			return b.String()
		}
		c, err := hex.DecodeString(after[:min(2, len(after))])
		if err != nil || len(c) == 0 {
			b.WriteByte(marker)
			text = after
			continue
		}
		b.Write(c)
		text = after[2:]
	}
}

func keys[V any](m map[string]V, change func(string) string) map[string]V {
	if m == nil {
		return nil
	}
	changed := make(map[string]V, len(m))
	for name, v := range m {
		changed[change(name)] = v
	}
	return changed
}

func each(names []string, change func(string) string) []string {
	changed := make([]string, len(names))
	for i, name := range names {
		changed[i] = change(name)
	}
	return changed
}

// names returns an area with all the names in it changed.
func (a Area) names(change func(string) string) Area {
	a.Path = change(a.Path)
	a.Dirs, a.Named, a.Configs = each(a.Dirs, change), each(a.Named, change), each(a.Configs, change)
	a.Nodes, a.Files, a.Folders = keys(a.Nodes, change), keys(a.Files, change), keys(a.Folders, change)
	a.Loose, a.Open, a.Odd = keys(a.Loose, change), keys(a.Open, change), keys(a.Odd, change)
	a.Elsewhere, a.Views = keys(a.Elsewhere, change), keys(a.Views, change)
	for dir, nodes := range a.Elsewhere {
		a.Elsewhere[dir] = keys(nodes, change)
	}
	for name, file := range a.Files {
		file.Link = change(file.Link)
		a.Files[name] = file
	}
	return a
}

// inFile are notes as they are written into a file.
type inFile notes

func (n notes) names(change func(string) string) notes {
	n.Root, n.Roots = change(n.Root), each(n.Roots, change)
	areas := make([]*Area, len(n.Areas))
	for i, area := range n.Areas {
		changed := area.names(change)
		areas[i] = &changed
	}
	n.Areas = areas
	return n
}

// MarshalJSON writes notes into a file.
func (n notes) MarshalJSON() ([]byte, error) { return json.Marshal(inFile(n.names(escape))) }

// UnmarshalJSON reads them.
func (n *notes) UnmarshalJSON(text []byte) error {
	err := json.Unmarshal(text, (*inFile)(n))
	if err == nil && n.Version >= version {
		*n = n.names(unescape)
	}
	return err
}
