package bridge

import (
	"hash/fnv"
	"math"
	"slices"
)

// Many tables share places within the poll interval, up to pollTogether one place, while
// at least leastPlaces are left. Most of what a poll costs that finds nothing is that a
// process wakes up: 50 tables in places of five take a third of the processor time.
const (
	pollTogether = 5
	leastPlaces  = 10
)

// phases gives every table its place within the poll interval: the places are evenly
// spread, in an order and from a start that follow from the names alone, so that neither
// more than pollTogether tables of one bridge nor the bridges of many organizations poll
// in the same instant.
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
	places := min(len(names), max(leastPlaces, (len(names)+pollTogether-1)/pollTogether))
	for i, name := range names {
		place := i * places / len(names)
		_, out[name] = math.Modf(begin + float64(place)/float64(places))
	}
	return out
}

func nameHash(org, table string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(org + "/" + table)) // never fails
	return h.Sum32()
}
