package envfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []string
	}{
		"plain":            {"A=1\nB=two words\n", []string{"A=1", "B=two words"}},
		"comments":         {"# no\n\nA=1 # yes\nB=a#b\nC=#x\n", []string{"A=1", "B=a#b", "C="}},
		"export":           {"export A=1\n  export  B = 2 \n", []string{"A=1", "B=2"}},
		"double quotes":    {`A="x \"y\" \\ \n \$Z $Z"` + "\n", []string{"A=x \"y\" \\ \n $Z $Z"}},
		"single quotes":    {`A='x \n "y" $Z' # why`, []string{`A=x \n "y" $Z`}},
		"several lines":    {"A=\"1\n2\"\nB=3", []string{"A=1\n2", "B=3"}},
		"nothing":          {"A=\nB=''\n", []string{"A=", "B="}},
		"CRLF and BOM":     {"\ufeffA=1\r\nB=2\r\n", []string{"A=1", "B=2"}},
		"equals and quote": {"A=b=c\nB=it's\n", []string{"A=b=c", "B=it's"}},
		"empty file":       {"", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblemsNameTheirLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"A=1\nnonsense":  "line 2: \"nonsense\" is not NAME=value",
		"1A=2":           "line 1:",
		"A B=2":          "line 1:",
		"\n\nA=\"open\n": "line 3: the quote is never closed",
		"A='x' y":        "line 1: there is something after the closing quote",
		"A=\x00":         "line 1: the value of A holds a NUL byte",
		"B=\"1\n2\"\n=3": "line 3:",
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("export A=\"1\\n\" # x\nB='2\n3'")
	f.Fuzz(func(t *testing.T, text string) {
		variables, err := Parse(text)
		if err != nil {
			return
		}
		for _, v := range variables {
			if name, _, _ := strings.Cut(v, "="); !ValidName(name) || strings.ContainsRune(v, 0) {
				t.Errorf("%q gives %q", text, v)
			}
		}
	})
}
