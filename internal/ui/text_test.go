package ui

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestSanitize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                           "",
		`plain "text" \n 'q' é 日本 🎉`: `plain "text" \n 'q' é 日本 🎉`,
		"two\nlines\r\t.":            `two\nlines\r\t.`,
		"\x1b]52;c;ZXZpbA==\a":       `\x1b]52;c;ZXZpbA==\a`,
		"\u009b2J\x9b2J\x7f":         `\u009b2J\x9b2J\x7f`,
		"a\u202egpj.exe\u2066\u200b": `a\u202egpj.exe\u2066\u200b`,
		"\u2028\ufeff\U000e0041":     `\u2028\ufeff\U000e0041`,
		"\ufffd":                     "\ufffd",
	} {
		if got := Sanitize(in); got != want {
			t.Errorf("Sanitize(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSanitizeAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "in")
		got := Sanitize(in)
		if !utf8.ValidString(got) {
			t.Errorf("invalid: %q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Errorf("%q left in %q", r, got)
			}
		}
		if again := Sanitize(got); again != got {
			t.Errorf("twice: %q, once: %q", again, got)
		}
	})
}

func TestSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9950: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		175_000_000: "175 MB", 1_250_000_000: "1.2 GB", 20_000_000_000_000: "20 TB", 1<<63 - 1: "9.2 EB",
	} {
		if got := Size(in); got != want {
			t.Errorf("Size(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	header := []string{"TEMPLATE", "PROJECT", "STATE", "BUILT", "SIZE"}
	rows := [][]string{
		{"tpl_shop_0a1b2c3d", "/home/anna/customers/north/shop", "ready", "12 min", "3.1 GB"},
		{"tpl_été_11111111", "", ""},
		{"tpl_x_22222222", "~/x", "project gone"},
		{"tpl_y_33333333", "/srv/a-long-name-without-an-end-to-it/a\x1b[2Jb", "damaged", "3 d", "900 MB"},
		{"tpl_z_44444444", "/srv/z/a-long-name-without-an-end-to-it", "ready", "3 d", "1.0 GB"},
	}
	for width, want := range map[int]string{
		0: `TEMPLATE           PROJECT                                          STATE         BUILT   SIZE
tpl_shop_0a1b2c3d  /home/anna/customers/north/shop                  ready         12 min  3.1 GB
tpl_été_11111111
tpl_x_22222222     ~/x                                              project gone
tpl_y_33333333     /srv/a-long-name-without-an-end-to-it/a\x1b[2Jb  damaged       3 d     900 MB
tpl_z_44444444     /srv/z/a-long-name-without-an-end-to-it          ready         3 d     1.0 GB
`,
		120: `TEMPLATE           PROJECT                                          STATE         BUILT   SIZE
tpl_shop_0a1b2c3d  /home/anna/customers/north/shop                  ready         12 min  3.1 GB
tpl_été_11111111
tpl_x_22222222     ~/x                                              project gone
tpl_y_33333333     /srv/a-long-name-without-an-end-to-it/a\x1b[2Jb  damaged       3 d     900 MB
tpl_z_44444444     /srv/z/a-long-name-without-an-end-to-it          ready         3 d     1.0 GB
`,
		80: `TEMPLATE           PROJECT                          STATE         BUILT   SIZE
tpl_shop_0a1b2c3d  /home/anna/customers/north/shop  ready         12 min  3.1 GB
tpl_été_11111111
tpl_x_22222222     ~/x                              project gone
tpl_y_33333333     …/a\x1b[2Jb                      damaged       3 d     900 MB
tpl_z_44444444     …long-name-without-an-end-to-it  ready         3 d     1.0 GB
`,
		60: `TEMPLATE           PROJECT              STATE         BUILT
tpl_shop_0a1b2c3d  …/north/shop         ready         12 min
tpl_été_11111111
tpl_x_22222222     ~/x                  project gone
tpl_y_33333333     …/a\x1b[2Jb          damaged       3 d
tpl_z_44444444     …thout-an-end-to-it  ready         3 d
`,
		40: `TEMPLATE           PROJECT
tpl_shop_0a1b2c3d  …/north/shop
tpl_été_11111111
tpl_x_22222222     ~/x
tpl_y_33333333     …/a\x1b[2Jb
tpl_z_44444444     …without-an-end-to-it
`,
		10: `TEMPLATE
tpl_shop_0a1b2c3d
tpl_été_11111111
tpl_x_22222222
tpl_y_33333333
tpl_z_44444444
`,
	} {
		var out strings.Builder
		if err := Table(&out, header, "PROJECT", rows, width); err != nil {
			t.Error(err)
		}
		diff(t, want, out.String())
	}
}

func TestTableFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cells := rapid.SliceOfN(rapid.StringMatching(`[a-zé…/ ]{0,30}`), 1, 6)
		header := cells.Draw(t, "header")
		rows := rapid.SliceOfN(rapid.Map(cells, func(row []string) []string { return row[:min(len(row), len(header))] }), 0, 5).Draw(t, "rows")
		width := rapid.IntRange(1, 100).Draw(t, "width")
		paths := rapid.SampledFrom(header).Draw(t, "paths")
		var out strings.Builder
		if err := Table(&out, header, paths, rows, width); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != len(rows)+2 {
			t.Errorf("%d lines for %d rows", len(lines), len(rows))
		}
		for i, row := range append([][]string{header}, rows...) {
			name := strings.TrimRight(row[0], " ")
			if n := utf8.RuneCountInString(lines[i]); n > width && lines[i] != name || strings.HasSuffix(lines[i], " ") {
				t.Errorf("%d columns of %d: %q", n, width, lines[i])
			}
			if !strings.HasPrefix(lines[i], name) {
				t.Errorf("no %q in %q", name, lines[i])
			}
		}
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestTableReportsWriteErrors(t *testing.T) {
	t.Parallel()
	if err := Table(broken{}, []string{"A"}, "", nil, 0); err == nil {
		t.Error("no error")
	}
}
