package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// WriteTOML writes the merged configuration as a file that can be loaded again. Comments say where each value is from.
func (c *Config) WriteTOML(w io.Writer) error {
	var b bytes.Buffer
	keys, last := c.keys(), ""
	for _, k := range keys {
		v := k.show()
		if rows, ok := v.([]row); ok {
			for _, r := range rows {
				fmt.Fprintf(&b, "\n[[%s]] # %s\n", k.path, r.origin)
				for _, k := range r.keys {
					writeTOML(&b, k.path, k.show(), "")
				}
			}
			continue
		}
		table, name, _ := strings.Cut(k.path, ".")
		if table != last {
			last = table
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		switch {
		case v == nil && k.unset != "":
			fmt.Fprintf(&b, "# %s is not set: %s\n", name, k.unset)
		case !implied(keys, k):
			writeTOML(&b, name, v, " # "+c.Origin(k.path).String())
		}
	}
	_, err := w.Write(bytes.TrimPrefix(b.Bytes(), []byte("\n")))
	return err
}

func writeTOML(b *bytes.Buffer, name string, v any, comment string) {
	switch v := v.(type) {
	case nil:
	case []Item:
		if len(v) == 0 {
			fmt.Fprintf(b, "%s = []%s\n", name, comment)
			return
		}
		fmt.Fprintf(b, "%s = [\n", name)
		for _, item := range v {
			fmt.Fprintf(b, "    %s, # %s\n", quote(item.Value), item.Origin)
		}
		b.WriteString("]\n")
	case map[string]string:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(b, "%s.%s = %s\n", name, key, quote(v[key]))
		}
	case string:
		fmt.Fprintf(b, "%s = %s%s\n", name, quote(v), comment)
	default:
		fmt.Fprintf(b, "%s = %v%s\n", name, v, comment)
	}
}

// implied tells whether k need not be written: a tool that has a version is on.
func implied(keys []key, k key) bool {
	return slices.ContainsFunc(keys, func(d key) bool { return strings.HasPrefix(d.path, k.path+".") && d.show() != nil })
}

// quote writes a TOML string in which nothing is left that a terminal would act on.
func quote(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return `"` + b.String() + `"`
}

// WriteJSON writes the merged configuration in the shape of the file, without what is not set. A further object, origins,
// says for each dotted key where its value is from; for a list that has any, the
// origin of each element.
func (c *Config) WriteJSON(w io.Writer) error {
	origins := map[string]any{}
	root := object(c.keys(), func(k key, each []string) {
		origins[k.path] = c.Origin(k.path).String()
		if len(each) > 0 {
			origins[k.path] = each
		}
	})
	root["origins"] = origins
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(root)
}

// object makes nested objects of keys, and tells of each that it takes, with the origins of the elements of a list.
func object(keys []key, taken func(k key, each []string)) map[string]any {
	root := map[string]any{}
	for _, k := range keys {
		v := k.show()
		if v == nil || implied(keys, k) {
			continue
		}
		var each []string
		switch list := v.(type) {
		case []Item:
			values := []string{}
			for _, item := range list {
				values, each = append(values, item.Value), append(each, item.Origin.String())
			}
			v = values
		case []row:
			values := []any{}
			for _, r := range list {
				values, each = append(values, object(r.keys, func(key, []string) {})), append(each, r.origin.String())
			}
			v = values
		}
		table, names := root, strings.Split(k.path, ".")
		for _, name := range names[:len(names)-1] {
			if table[name] == nil {
				table[name] = map[string]any{}
			}
			table = table[name].(map[string]any)
		}
		table[names[len(names)-1]] = v
		taken(k, each)
	}
	return root
}

// Reference writes all keys in Markdown, a table for each table.
func Reference(w io.Writer) error {
	var b bytes.Buffer
	start := func(title, doc string) {
		fmt.Fprintf(&b, "\n## `%s`\n\n%s| key | value | default | variable | meaning |\n| --- | --- | --- | --- | --- |\n", title, doc)
	}
	line := func(k key, name, variable string) {
		def := k.unset
		if k.def != "" {
			def = "`" + k.def + "`"
		} else if k.required {
			def = "required"
		}
		if variable != "" {
			variable = "`" + variable + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, k.allowed(), def, variable, k.doc)
	}
	last := ""
	for _, k := range new(Config).keys() {
		if list, ok := k.value.(interface{ example() []key }); ok {
			start("[["+k.path+"]]", k.doc+"\n\n")
			for _, k := range list.example() {
				line(k, k.path, "")
			}
			continue
		}
		table, name, _ := strings.Cut(k.path, ".")
		if table != last {
			last = table
			start("["+table+"]", "")
		}
		line(k, name, k.variable())
	}
	_, err := w.Write(bytes.TrimPrefix(b.Bytes(), []byte("\n")))
	return err
}
