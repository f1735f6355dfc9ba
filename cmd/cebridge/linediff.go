package main

import "strings"

// maxDiffLines bounds the lines of a side that are compared; what is longer is shown
// whole.
const maxDiffLines = 2000

// lineDiff shows how two texts differ, line by line: "  " in both, "- " in the first
// alone, "+ " in the second alone.
func lineDiff(want, got string) string {
	a, b := lines(want), lines(got)
	if len(a) > maxDiffLines || len(b) > maxDiffLines {
		return prefixed("- ", a) + prefixed("+ ", b)
	}
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			out.WriteString(prefixed("  ", a[i:i+1]))
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out.WriteString(prefixed("- ", a[i:i+1]))
			i++
		default:
			out.WriteString(prefixed("+ ", b[j:j+1]))
			j++
		}
	}
	return out.String() + prefixed("- ", a[i:]) + prefixed("+ ", b[j:])
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

func prefixed(prefix string, list []string) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString("  " + prefix + s + "\n")
	}
	return b.String()
}
