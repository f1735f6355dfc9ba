package bridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheFirstRingPokesAtOnceAndTheRestOncePerGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var pokes []time.Duration
		r := &ringer{gap: time.Second, poke: func() { pokes = append(pokes, time.Since(began)) }}
		for range 25 { // 2.5 s of rings
			r.ring()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		r.ring()
		want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 12500 * time.Millisecond}
		if len(pokes) != len(want) {
			t.Fatalf("pokes at %v, want %v", pokes, want)
		}
		for i := range want {
			if pokes[i] != want[i] {
				t.Errorf("pokes at %v, want %v", pokes, want)
				break
			}
		}
		r.ring()
		r.silence()
		time.Sleep(time.Minute)
		r.ring()
		if len(pokes) != len(want) {
			t.Error("a silenced ringer pokes")
		}
	})
}

func TestFaultyDoorbellsAreNamedWithTheirPlace(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_KEY", "short")
	const head = "org: contoso\nwebapi: {url: https://contoso.crm4.dynamics.com}\nnats: embedded\n" +
		"outbound: {type_prefix: com.contoso.crm, tables: {account: {columns: [name]}}}\ndoorbell: "
	for text, want := range map[string]string{
		`{listen: "0.0.0.0:1"}`:                              "doorbell.key: required with listen",
		`{listen: "0.0.0.0:1", key: "${CEBRIDGE_TEST_KEY}"}`: "doorbell.key: at least 8 characters",
		`{listen: nowhere, key: "${CEBRIDGE_TEST_KEY}"}`:     "doorbell.listen: write host:port",
		`{path: ring}`:              "doorbell.path: a plain path",
		`{path: "/{x}"}`:            "doorbell.path: a plain path",
		`{name: "a b"}`:             "doorbell.name: a name that a header can have",
		`{gap: 2m}`:                 "doorbell.gap: 2m0s is outside",
		`{key: in-the-file-itself}`: "doorbell.key: ",
	} {
		if _, err := ParseConfig("x.yaml", []byte(head+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
