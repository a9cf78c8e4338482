package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// position is where the key of a value stands in a file, or an element of a list; both from 1, the column in bytes.
type position struct{ line, column int }

// maxPath is the length beyond which a path is not followed; no known key comes near it, and a file of nothing but
// nested tables would otherwise cost its size squared.
const maxPath = 1000

// positions finds where everything in a TOML document stands, by paths such as mounts[0].location: go-toml's decoder
// forgets it, and only its parser knows. Of a document with a syntax error it finds what stands before that.
func positions(data []byte) map[string]position {
	p := &indexer{found: map[string]position{}, elements: map[string]int{}, lines: []int{0}}
	for i, b := range data {
		if b == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	p.Reset(data)
	for table := ""; p.NextExpression(); {
		switch e := p.Expression(); e.Kind {
		case unstable.KeyValue:
			p.value(p.key(table, e), e.Value())
		default:
			table = p.key("", e)
		}
	}
	return p.found
}

type indexer struct {
	unstable.Parser
	found    map[string]position
	elements map[string]int // of each array of tables, so far
	lines    []int          // the offset at which each line starts
}

func (p *indexer) note(path string, n *unstable.Node) {
	if _, ok := p.found[path]; !ok {
		line := sort.SearchInts(p.lines, int(n.Raw.Offset)+1)
		p.found[path] = position{line, int(n.Raw.Offset) - p.lines[line-1] + 1}
	}
}

// key notes the parts of a key and returns its path.
func (p *indexer) key(path string, n *unstable.Node) string {
	for it := n.Key(); it.Next() && len(path) < maxPath; {
		path = join(path, string(it.Node().Data))
		p.note(path, it.Node())
		if n.Kind == unstable.ArrayTable && it.IsLast() {
			p.elements[path]++
		}
		if i := p.elements[path]; i > 0 {
			path = fmt.Sprintf("%s[%d]", path, i-1)
			p.note(path, it.Node())
		}
	}
	return path
}

func (p *indexer) value(path string, n *unstable.Node) {
	if len(path) >= maxPath {
		return
	}
	it := n.Children()
	for i := 0; it.Next(); i++ {
		switch child := it.Node(); n.Kind {
		case unstable.Array:
			element := fmt.Sprintf("%s[%d]", path, i)
			if child.Raw.Length == 0 { // the parser does not say where a list in a list is
				p.found[element] = p.found[path]
			}
			p.note(element, child)
			p.value(element, child)
		case unstable.InlineTable:
			p.value(p.key(path, child), child.Value())
		}
	}
}

// join appends a name to a dotted path, quoted where TOML wants it quoted, so that it cannot pass for several.
func join(path, name string) string {
	bare := func(r rune) bool {
		return r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !bare(r) }) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
