package bridge_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
	"cebridge/schema/event"
)

// block is a fenced block of a page, with the line its content begins at.
type block struct {
	page, language, text string
	line                 int
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// pages are the README and everything in docs, as seen from this package.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 5 {
		t.Fatalf("only %d pages in docs", len(list))
	}
	return append(list, filepath.Join("..", "README.md"))
}

// blocks returns the fenced blocks of a page in one language.
func blocks(t *testing.T, page, language string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	var open *block
	for i, line := range strings.Split(string(text), "\n") {
		switch fence, is := strings.CutPrefix(line, "```"); {
		case is && open == nil:
			open = &block{page: filepath.Base(page), language: fence, line: i + 2}
		case is:
			if open.language == language {
				found = append(found, *open)
			}
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s: the block at line %d has no end", page, open.line)
	}
	return found
}

// environment sets every variable that the pages' configurations refer to.
func environment(t *testing.T) {
	t.Helper()
	t.Setenv("CRM_SECRET", "not a secret")
	t.Setenv("HASH_KEY", "no key of anything, only long enough")
}

// rest is what the parts of a configuration shown alone lack.
var rest = map[string]string{
	"org":    "org: contoso\n",
	"webapi": "webapi: {url: https://contoso.crm4.dynamics.com}\n",
	"nats":   "nats: embedded\n",
}

func topLevel(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+):`).FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	return names
}

// Every YAML block of the pages is one of: a configuration, a part of one, a fault
// script, or a schema. Each must be read without a problem.
func TestEveryYAMLBlockOfThePagesIsRead(t *testing.T) {
	environment(t)
	whole := map[string]int{}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page, "yaml") {
			names := topLevel(b.text)
			switch {
			case names["faults"]:
				if rules, err := sim.LoadFaults([]byte(b.text)); err != nil || len(rules) == 0 {
					t.Errorf("%s: %d rules, %v", b, len(rules), err)
				}
			case names["tables"]:
				if tables, err := sim.LoadSchema([]byte(b.text)); err != nil || len(tables) == 0 {
					t.Errorf("%s: %d tables, %v", b, len(tables), err)
				}
			default:
				text := b.text
				if names["org"] {
					whole[b.page]++
				} else {
					for _, name := range slices.Sorted(maps.Keys(rest)) {
						if !names[name] {
							text += rest[name]
						}
					}
				}
				if _, err := bridge.ParseConfig(b.String(), []byte(text)); err != nil {
					t.Errorf("%s is not a configuration:\n%v", b, err)
				}
			}
		}
	}
	if want := map[string]int{"README.md": 1, "configuration.md": 1}; !cmp.Equal(want, whole) {
		t.Errorf("whole configurations: %v, want %v", whole, want)
	}
}

// sample starts the bridge with a page's configuration, which keeps everything but
// the addresses and the login, between a simulator and an embedded server.
func sample(t *testing.T, page string, prepare func(*sim.Server)) *rig {
	t.Helper()
	environment(t)
	var text string
	for _, b := range blocks(t, filepath.Join("..", page), "yaml") {
		if topLevel(b.text)["org"] {
			text = b.text
		}
	}
	cfg, err := bridge.ParseConfig(page, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "outbound: {type_prefix: com.contoso.crm, tables: {team: {columns: [name]}}}\n", prepare)
	r.stop()
	own := cfg.Inbound.Streams
	for _, route := range cfg.Inbound.Routes {
		if !slices.ContainsFunc(own, func(s bridge.SourceStream) bool { return s.Name == route.Stream }) {
			// A stream of another system: it is there before the bridge is.
			if _, err := r.js.CreateStream(r.ctx, jetstream.StreamConfig{Name: route.Stream, Subjects: route.Subjects}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cfg.WebAPI.URL, cfg.WebAPI.Auth = r.url, bridge.AuthConfig{Method: "none"}
	cfg.NATS = bridge.NATSConfig{URLs: []string{r.nats}, InboxPrefix: "_INBOX"}
	cfg.Stream.Replicas, cfg.Stream.MaxBytes = 1, -1
	cfg.Admin.Listen = "127.0.0.1:0"
	b, err := bridge.New(cfg, bridge.WithSettled(func(_ string, s inbound.Settled) { r.settled <- s }))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(r.ctx); err != nil {
		t.Fatalf("the configuration of %s does not fit the simulator:\n%v", page, err)
	}
	r.bridge = b
	return r
}

func TestTheConfigurationOfTheREADMEWorksAgainstTheSimulator(t *testing.T) {
	r := sample(t, "README.md", func(s *sim.Server) {
		insert(t, s, "contact", map[string]any{"lastname": "Sample", "emailaddress1": "contact@company.com"})
		insert(t, s, "systemuser", map[string]any{"lastname": "User", "domainname": `CONTOSO\user`, "internalemailaddress": "user@mycompany.com"})
	})
	next := r.events("crm.contoso.account.*")
	r.send("erp.customer.changed", "com.example.erp.customer.changed.v1", "1", map[string]any{
		"customerNumber": "ABC123", "name": "Fabrikam", "contact": map[string]any{"email": "contact@company.com"}, "owner": "user@mycompany.com",
	})
	s := r.next()
	if s.Outcome != "written" {
		t.Fatalf("the event was %s: %v", s.Outcome, s.Err)
	}
	// Loaded instead of created when the write came before the table's first read.
	e := next()
	if c := e.change(); c != "created" && c != "loaded" || e.Type != "com.contoso.crm.account."+c || e.Data.Record["accountnumber"] != "ABC123" {
		t.Errorf("event %s with %v", e.Type, e.Data.Record)
	}
}

func TestTheCompleteExampleFitsTheSimulator(t *testing.T) {
	r := sample(t, "docs/configuration.md", nil)
	if _, err := r.js.Publish(r.ctx, "shop.product.changed", []byte(`{"kind":"product","code":"P1","name":"Widget"}`)); err != nil {
		t.Fatal(err)
	}
	if s := r.written(); s.Write.Path() != "sample_products(sample_productcode='P1')" {
		t.Errorf("path %s", s.Write.Path())
	}
}

// What docs/events.md shows is what the encoder writes: its events are those of the
// codec's golden files, whatever the blanks.
func TestTheExamplesOfEventsAreThoseOfTheGoldenFiles(t *testing.T) {
	golden := map[string]string{}
	files, err := filepath.Glob(filepath.Join("..", "schema", "event", "testdata", "golden", "*.structured.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := bytes.Cut(text, []byte("\n\n"))
		golden[compact(t, body)] = filepath.Base(file)
	}
	shown := 0
	for _, b := range blocks(t, filepath.Join("..", "docs", "events.md"), "json") {
		if _, err := event.Unmarshal(map[string][]string{"Content-Type": {event.ContentTypeStructured}}, []byte(b.text)); err != nil {
			t.Errorf("%s is not a CloudEvent: %v", b, err)
		}
		if golden[compact(t, []byte(b.text))] != "" {
			shown++
		} else if !strings.Contains(b.text, ".receipt.") {
			t.Errorf("%s: no golden file has this event", b)
		}
	}
	if shown != len(golden) {
		t.Errorf("%d of %d golden events are shown", shown, len(golden))
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheGoOfThePagesIsThatOfTheExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "examples", "consumer", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	real := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			real[strings.TrimSpace(line)] = true
		}
	}
	shown := blocks(t, filepath.Join("..", "docs", "consumers.md"), "go")
	if len(shown) == 0 {
		t.Error("no Go is shown")
	}
	for _, b := range shown {
		for line := range strings.Lines(b.text) {
			if line = strings.TrimSpace(line); !real[line] {
				t.Errorf("%s: no example has the line %s", b, line)
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#][^)]*?)(#[^)]*)?\)`)

func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", filepath.Base(page), err)
			}
		}
	}
}

// Names that code and page must share, each found by a pattern in a source file.
func TestThePageOfTheSimulatorNamesEveryFaultAndSwitch(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "simulator.md"))
	if err != nil {
		t.Fatal(err)
	}
	faults, err := os.ReadFile(filepath.Join("sim", "faults.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`FaultKind = "(\w+)"`).FindAllStringSubmatch(string(faults), -1) {
		names = append(names, m[1])
	}
	for f := range reflect.TypeFor[sim.Assumptions]().Fields() {
		names = append(names, f.Name)
	}
	for f := range reflect.TypeFor[sim.Rule]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		names = append(names, name)
	}
	if len(names) < 35 {
		t.Errorf("only %d names found", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s is not on the page", name)
		}
	}
}

// Paths in the pages are those of the tree.
func TestEveryFileThatThePagesNameIsThere(t *testing.T) {
	path := regexp.MustCompile("`((?:bridge|schema|outbound|inbound|cmd|examples)/[\\w./-]+)`")
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range path.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", filepath.Base(page), err)
			}
		}
	}
}
