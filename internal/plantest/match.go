package plantest

import (
	"fmt"
	"regexp"
	"strings"
)

// Match selects tests by name. The zero value selects all.
type Match struct{ levels []*regexp.Regexp }

// ParseMatch reads a pattern: a regular expression for names of tests, and after
// a slash one for names of tests within them, as "test_table/large".
func ParseMatch(pattern string) (Match, error) {
	var m Match
	if pattern == "" {
		return m, nil
	}
	for level := range strings.SplitSeq(pattern, "/") {
		re, err := regexp.Compile(level)
		if err != nil {
			return Match{}, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		m.levels = append(m.levels, re)
	}
	return m, nil
}

// matches reports whether a test is selected, by the last element of its name and
// its level, which is 0 for functions.
func (m Match) matches(level int, name string) bool {
	return level >= len(m.levels) || m.levels[level].MatchString(name)
}
