package config

import "fmt"

// Setting is one thing that holds: a value, an element of a list, or a table of a list of tables.
type Setting struct {
	Key    string    // dotted; of an element the list's; of a field of a table the field's own
	Value  string    // as a variable would give it; empty for a table
	Fields []Setting // of a table, and of lists in it one for each element
	Origin Origin
}

// Field returns the values of a field of a table.
func (s Setting) Field(key string) (values []string) {
	for _, f := range s.Fields {
		if f.Key == key {
			values = append(values, f.Value)
		}
	}
	return values
}

// Settings returns everything that holds, the defaults included.
func (c *Config) Settings() []Setting {
	return settings(c.keys(), func(k key) Origin { return c.Origin(k.path) })
}

func settings(keys []key, origin func(key) Origin) (all []Setting) {
	for _, k := range keys {
		if v, ok := k.value.(variables); ok {
			for _, item := range v.p.Items() {
				all = append(all, Setting{Key: k.path, Value: item.Value, Origin: item.Origin})
			}
			continue
		}
		switch v := k.show().(type) {
		case nil:
		case []Item:
			for _, item := range v {
				all = append(all, Setting{Key: k.path, Value: item.Value, Origin: item.Origin})
			}
		case []row:
			for _, r := range v {
				all = append(all, Setting{
					Key: k.path, Fields: settings(r.keys, func(key) Origin { return r.origin }), Origin: r.origin,
				})
			}
		default:
			all = append(all, Setting{Key: k.path, Value: fmt.Sprint(v), Origin: origin(k)})
		}
	}
	return all
}

// Keys returns the names of all keys, farthest table first.
func Keys() (names []string) {
	for _, k := range new(Config).keys() {
		names = append(names, k.path)
	}
	return names
}
