package bench

import (
	"fmt"
	"strings"
)

// Owed is a bound that a result is held against.
type Owed struct {
	// What is the member of the result that is bounded, by its JSON name.
	What  string  `json:"what"`
	Least float64 `json:"at_least,omitempty"`
	Most  float64 `json:"at_most,omitempty"`
	Met   bool    `json:"met"`
}

// promises are the bounds of a case; every name that begins so has them. Ratios hold
// within a run on any machine. The others were settled on two cores of 2024: on others
// they are a hint.
var promises = []struct {
	begin string
	owed  []Owed
}{
	{"outbound-load-400B-sync-always", []Owed{{What: "ours", Least: 32_000}, {What: "rss_mib", Most: 150}}},
	{"outbound-load-400B", []Owed{{What: "ratio", Least: 0.8}, {What: "cpu_us", Most: 10}, {What: "rss_mib", Most: 150}}},
	{"outbound-load-2048B", []Owed{{What: "ratio", Least: 0.75}, {What: "cpu_us", Most: 14}, {What: "rss_mib", Most: 150}}},
	{"outbound-delta", []Owed{{What: "ratio", Least: 0.4}, {What: "ours", Least: 20_000}, {What: "rss_mib", Most: 150}}},
	{"doorbell-p50", []Owed{{What: "ours", Most: 20}}},
	{"doorbell-p99", []Owed{{What: "ours", Most: 100}}},
	{"idle-cpu", []Owed{{What: "ours", Most: 0.5}, {What: "rss_mib", Most: 60}}},
	{"idle-requests", []Owed{{What: "ours", Most: 1.1}}},
	{"inbound-patch-5ms-52", []Owed{{What: "ratio", Least: 0.9}, {What: "cpu_us", Most: 60}, {What: "connections", Most: 52}}},
	{"inbound-patch-5ms-256", []Owed{{What: "ratio", Least: 0.8}, {What: "connections", Most: 256}}},
	{"inbound-patch-tls1-5ms-52", []Owed{{What: "connections", Most: 52}}},
	{"inbound-batch100-5ms", []Owed{{What: "ratio", Least: 0.6}}},
}

// owed holds a result against the promises of its case.
func owed(r Result) []Owed {
	for _, p := range promises {
		if !strings.HasPrefix(r.Name, p.begin) {
			continue
		}
		list := make([]Owed, len(p.owed))
		for i, o := range p.owed {
			v := r.value(o.What)
			o.Met = v >= o.Least && (o.Most == 0 || v <= o.Most)
			list[i] = o
		}
		return list
	}
	return []Owed{}
}

func (r Result) value(name string) float64 {
	switch name {
	case "ratio":
		return r.Ratio
	case "cpu_us":
		return r.CPU
	case "rss_mib":
		return r.RSS
	case "connections":
		return float64(r.Connections)
	}
	return r.Ours
}

// String is "ratio >= 0.8", with "MISSED" behind it when it is.
func (o Owed) String() string {
	text := fmt.Sprintf("%s >= %g", o.What, o.Least)
	if o.Most > 0 {
		text = fmt.Sprintf("%s <= %g", o.What, o.Most)
	}
	if !o.Met {
		text += " MISSED"
	}
	return text
}

// Met tells whether every bound of every result is kept.
func Met(results []Result) bool {
	for _, r := range results {
		for _, o := range r.Owed {
			if !o.Met {
				return false
			}
		}
	}
	return true
}
