package npm

import (
	"strings"

	"golang.org/x/mod/semver"
)

// Satisfies says whether a full version lies in a range of npm's, of the kinds that packages write for the Node.js they
// run on: alternatives (||) of conditions (^1.2.3, ~1.2.3, >=1.2.3, >1.2.3, <=1.2.3, <1.2.3, 1.2.3, *). Nothing satisfies a
// range that is not understood; anything does one that is empty.
func Satisfies(version, ranges string) bool {
	for alternative := range strings.SplitSeq(ranges, "||") {
		for _, space := range []string{">= ", "> ", "<= ", "< ", "^ ", "~ "} {
			alternative = strings.ReplaceAll(alternative, space, space[:len(space)-1])
		}
		if all(strings.Fields(alternative), func(condition string) bool { return satisfiesOne("v"+version, condition) }) {
			return true
		}
	}
	return false
}

func all(conditions []string, hold func(string) bool) bool {
	for _, c := range conditions {
		if !hold(c) {
			return false
		}
	}
	return true
}

func satisfiesOne(v, condition string) bool {
	operator := condition[:len(condition)-len(strings.TrimLeft(condition, "^~<>="))]
	bound := "v" + strings.TrimPrefix(condition[len(operator):], "v")
	if bound == "v*" || bound == "vx" {
		return operator == ""
	}
	bound = strings.TrimSuffix(strings.TrimSuffix(bound, ".x"), ".x")
	if !semver.IsValid(bound) || !semver.IsValid(v) || semver.Prerelease(v) != "" {
		return false
	}
	order := semver.Compare(v, bound)
	same := v == bound || strings.HasPrefix(v, bound+".") // a bound of one or two numbers is all the versions that begin so
	switch operator {
	case "^":
		return order >= 0 && semver.Major(v) == semver.Major(bound) && semver.Major(bound) != "v0"
	case "~":
		return order >= 0 && (same || strings.Contains(bound, ".") && semver.MajorMinor(v) == semver.MajorMinor(bound))
	case ">=":
		return order >= 0
	case ">":
		return order > 0 && !same
	case "<=":
		return order <= 0 || same
	case "<":
		return order < 0
	case "", "=":
		return same
	}
	return false
}
