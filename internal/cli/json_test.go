package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/config"
)

// fields returns a line for each field of what is printed as JSON: its path and its type, as docs/json.md writes them.
func fields(path string, t reflect.Type) (lines []string) {
	switch {
	case t.Kind() == reflect.Pointer:
		return fields(path, t.Elem())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return fields(path+"[]", t.Elem())
	case t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]():
		return nil
	}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := strings.TrimPrefix(path+"."+name, ".")
		line := inner + " " + jsonType(f.Type)
		if strings.Contains(options, "omitempty") {
			line += ", optional"
		}
		lines = append(append(lines, line), fields(inner, f.Type)...)
	}
	return lines
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "list of strings"
		}
		return "list"
	case reflect.Struct, reflect.Map:
		if t == reflect.TypeFor[time.Time]() {
			return "time"
		}
		return "object"
	}
	return "number"
}

// What is printed as JSON and what the page says of it are the same.
func TestDocumentedJSON(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| [^|]+ \\|$")
	for section := range strings.SplitSeq(string(text), "\n## ") {
		command, body, _ := strings.Cut(section, "\n")
		for _, match := range row.FindAllStringSubmatch(body, -1) {
			documented[command] = append(documented[command], match[1]+" "+match[2])
		}
	}
	printed := map[string][]string{
		"list":        fields("", reflect.TypeFor[[]templateRow]()),
		"ps":          fields("", reflect.TypeFor[[]sessionRow]()),
		"info":        fields("", reflect.TypeFor[facts]()),
		"changes":     fields("", reflect.TypeFor[reportFacts]()),
		"doctor":      fields("", reflect.TypeFor[[]finding]()),
		"version":     fields("", reflect.TypeFor[versionFacts]()),
		"config show": {"origins object"},

		"changes --list": fields("", reflect.TypeFor[[]reportRow]()),
	}
	for _, lists := range []map[string][]string{documented, printed} {
		for _, list := range lists {
			slices.Sort(list)
		}
	}
	if diff := cmp.Diff(documented, printed); diff != "" {
		t.Errorf("docs/json.md and what is printed differ (-page +printed):\n%s", diff)
	}
}

// What config show prints are the keys of the configuration, and one field more.
func TestConfigShowPrintsKeysOnly(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Input{Home: "/home/ann", Cwd: "/", NoFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	var out, reference bytes.Buffer
	if err := cfg.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	if err := config.Reference(&reference); err != nil {
		t.Fatal(err)
	}
	var printed map[string]any
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		t.Fatal(err)
	}
	if _, ok := printed["origins"]; !ok {
		t.Error("no origins")
	}
	for table := range printed {
		if table != "origins" && !strings.Contains(reference.String(), "["+table) {
			t.Errorf("%s is not in the reference", table)
		}
	}
}
