package npm

import "testing"

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
	} {
		if got := Satisfies(test.version, test.ranges); got != test.want {
			t.Errorf("%q in %q: %v", test.version, test.ranges, got)
		}
	}
}
