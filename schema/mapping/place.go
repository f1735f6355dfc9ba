package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cebridge/schema"
)

// place is where something stands in the configuration file.
type place struct {
	file         string
	line, column int
	// field is the dotted path of the field.
	field string
}

func (p place) problem(format string, args ...any) schema.Problem {
	return schema.Problem{File: p.file, Line: p.line, Column: p.column, Field: p.field, Text: fmt.Sprintf(format, args...)}
}

// String names the field and its place, for errors at run time.
func (p place) String() string {
	if p.line == 0 {
		return p.field
	}
	file := p.file
	if file != "" {
		file += ":"
	}
	return fmt.Sprintf("%s (%s%d:%d)", p.field, file, p.line, p.column)
}

// collector gathers problems.
type collector struct{ problems schema.Problems }

func (c *collector) add(p place, format string, args ...any) {
	c.problems = append(c.problems, p.problem(format, args...))
}

// sorted returns the problems in the order of the file, each once.
func (c *collector) sorted() schema.Problems {
	slices.SortStableFunc(c.problems, func(a, b schema.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(c.problems)
}

// suggest returns "; did you mean x?" when one of the candidates is close to the
// name, else "".
func suggest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d <= bestDistance && c != name {
			if d < bestDistance || best == "" {
				best, bestDistance = c, d
			}
		}
	}
	if best == "" && len(name) >= 3 {
		for _, c := range candidates {
			if strings.HasPrefix(strings.ToLower(c), strings.ToLower(name)) {
				best = c
				break
			}
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b. Names longer than 128 bytes count as far apart.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return 128
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
