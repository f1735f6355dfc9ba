package bridge

import (
	"hash/fnv"
	"math"
	"slices"
)

// phases gives every table its place within the poll interval: evenly spread, in an
// order and from a start that follow from the names alone, so that neither the tables
// of one bridge nor the bridges of many organizations poll in the same instant.
func phases(org string, tables []TableConfig) map[string]float64 {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Table
	}
	slices.SortFunc(names, func(a, b string) int {
		ha, hb := nameHash(org, a), nameHash(org, b)
		switch {
		case ha < hb:
			return -1
		case ha > hb:
			return 1
		}
		return 0
	})
	begin := float64(nameHash(org, "")) / (1 << 32)
	out := make(map[string]float64, len(names))
	for i, name := range names {
		_, out[name] = math.Modf(begin + float64(i)/float64(len(names)))
	}
	return out
}

func nameHash(org, table string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(org + "/" + table)) // never fails
	return h.Sum32()
}
