package docs_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced code block of a page.
type block struct {
	page string
	// line is that of the first line of text, from 1.
	line int
	// lang is the word after the fence.
	lang string
	// marks are the settings of the comment right above the fence.
	marks map[string]string
	text  string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// markComment is <!-- test: key=value key="a value" key -->.
var (
	markComment = regexp.MustCompile(`^<!-- test: (.*) -->$`)
	mark        = regexp.MustCompile(`([a-z-]+)(?:=("(?:[^"\\]|\\.)*"|\S*))?`)
)

// parseMarks reads the settings of a comment. A quoted value may hold \".
func parseMarks(line string) map[string]string {
	m := markComment.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	marks := make(map[string]string)
	for _, kv := range mark.FindAllStringSubmatch(m[1], -1) {
		value := kv[2]
		if strings.HasPrefix(value, `"`) {
			value = strings.ReplaceAll(value[1:len(value)-1], `\"`, `"`)
		}
		marks[kv[1]] = value
	}
	return marks
}

// blocks lists the fenced code blocks of a page in order.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	var open *block
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		lang, fence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && fence:
			open = &block{page: page, line: i + 2, lang: lang}
			if i > 0 {
				open.marks = parseMarks(lines[i-1])
			}
		case open != nil && fence:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%v: code block is not closed", open)
	}
	return list
}

// section gives a page's text from a heading to the next.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut("\n"+string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s: no heading %q", page, heading)
	}
	rest, _, _ = strings.Cut(rest, "\n#")
	return rest
}

// table gives the cells of the rows of a page's table that follows the heading,
// without its header.
func table(t *testing.T, page, heading string) [][]string {
	t.Helper()
	var rows [][]string
	for line := range strings.SplitSeq(section(t, page, heading), "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) < 3 {
		t.Fatalf("%s: %q: want a table with rows, got %d lines of one", page, heading, len(rows))
	}
	return rows[2:]
}
