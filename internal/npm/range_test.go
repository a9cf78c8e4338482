package npm

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestSatisfies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, ranges string
		want            bool
	}{
		{"22.12.0", "^20.19.0 || ^22.12.0 || >=23", true},
		{"22.11.0", "^20.19.0 || ^22.12.0 || >=23", false},
		{"20.19.5", "^20.19.0 || ^22.12.0 || >=23", true},
		{"24.0.0", "^20.19.0 || ^22.12.0 || >=23", true},
		{"21.0.0", "^20.19.0 || ^22.12.0 || >=23", false},
		{"18.1.0", ">= 18 < 20", true},
		{"20.0.0", ">= 18 < 20", false},
		{"18.4.2", "~18.4.1", true},
		{"18.5.0", "~18.4.1", false},
		{"18.5.0", "18.x", true},
		{"19.5.0", "18", false},
		{"18.0.0", "", true},
		{"18.0.0", "*", true},
		{"18.0.0", ">18.0.0", false},
		{"18.0.0", "<=18.0.0", true},
		{"18.0.0", "=18.0.0", true},
		{"18.0.0-rc.1", ">=1", false},
		{"18.0.0", "whatever", false},
		{"18.0.0", "16 - 20", false}, // not understood
		{"", ">=1", false},
		{"18.5.0", "~18", true},
		{"18.5.0", ">18", false},
		{"18.5.0", "<=18.x", true},
	} {
		if got := Satisfies(test.version, test.ranges); got != test.want {
			t.Errorf("%q in %q: %v", test.version, test.ranges, got)
		}
	}
}

// A condition is what npm's documentation says: an interval, whose bound may have one, two or three numbers.
func TestConditionsAreIntervals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.IntRange(0, 3)
		var v, low, above [3]int // above is the first version behind all that the bound stands for
		for i := range v {
			v[i] = number.Draw(t, "version")
		}
		given := rapid.IntRange(1, 3).Draw(t, "numbers")
		text := ""
		for i := range given {
			low[i] = number.Draw(t, "bound")
			text += fmt.Sprintf(".%d", low[i])
		}
		above = low
		above[given-1]++
		next := func(kept int) (first [3]int) { // the first version that differs in one of so many numbers
			copy(first[:kept], low[:kept])
			first[kept-1]++
			return first
		}
		value := func(n [3]int) int { return n[0]*100 + n[1]*10 + n[2] }
		at, from, behind := value(v), value(low), value(above)
		operator := rapid.SampledFrom([]string{"", "=", ">", ">=", "<", "<=", "~", "^"}).Draw(t, "operator")
		want := map[string]bool{
			"": from <= at && at < behind, "=": from <= at && at < behind, ">": at >= behind, ">=": at >= from, "<": at < from, "<=": at < behind,
			"~": from <= at && at < value(next(min(given, 2))), "^": from <= at && at < value(next(1)) && low[0] > 0,
		}[operator]
		version := fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
		for _, condition := range []string{operator + text[1:], operator + " " + text[1:]} {
			if operator == "=" && condition[1] == ' ' {
				continue // is not understood
			}
			if got := Satisfies(version, condition); got != want {
				t.Fatalf("%s in %q: %v", version, condition, got)
			}
		}
	})
}

// Ranges come with packages. Whatever they are, alternatives are alternatives.
func FuzzSatisfies(f *testing.F) {
	for _, ranges := range []string{"^20.19.0 || ^22.12.0 || >=23", ">= 18 < 20", "~18.4.1", "18.x", "*", "", "16 - 20", "^", "||", ">=v18", "<=18.x.x", "^0.1", "\x00"} {
		f.Add("18.4.2", ranges, "22")
	}
	f.Fuzz(func(t *testing.T, version, one, other string) {
		if got, want := Satisfies(version, one+" || "+other), Satisfies(version, one) || Satisfies(version, other); got != want {
			t.Errorf("%q in %q or %q: %v, want %v", version, one, other, got, want)
		}
	})
}
