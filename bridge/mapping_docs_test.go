package bridge_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/mapping"
)

// worked is a route of the page with an event and what becomes of it.
var worked = regexp.MustCompile("(?s)```yaml\n([^`]*)```\n[^`]*```json\n([^`]*)```\n[^`]*```http\n([^`]*)```")

// The examples of mappings in configuration.md give the requests that stand there.
func TestTheWorkedMappingsOfThePageAreTrue(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	examples := worked.FindAllStringSubmatch(string(page), -1)
	if len(examples) < 3 || len(examples) != strings.Count(string(page), "```http") {
		t.Fatalf("%d examples are complete", len(examples))
	}
	for _, x := range examples {
		cfg, err := bridge.ParseConfig("configuration.md", []byte(x[1]+rest["org"]+rest["webapi"]+rest["nats"]))
		if err != nil {
			t.Errorf("%s\n%v", x[1], err)
			continue
		}
		program, ps := mapping.Compile(cfg.Inbound.Routes[0].Mapping, schema.NewCatalog(tables...), mapping.Options{Example: []byte(x[2])})
		if len(ps) > 0 {
			t.Errorf("%s\n%v", x[1], ps)
			continue
		}
		e := cloudevent.New()
		e.SetDataContentType("application/json")
		e.DataEncoded = json.RawMessage(x[2])
		writes, err := program.Map(t.Context(), &e)
		if err != nil || len(writes) != 1 {
			t.Errorf("%s\n%d writes, %v", x[2], len(writes), err)
			continue
		}
		got := "PATCH " + writes[0].Path() + "\n\n" + string(writes[0].Body) + "\n"
		if diff := cmp.Diff(x[3], got); diff != "" {
			t.Errorf("the request of %s differs (-page +got):\n%s", x[2], diff)
		}
	}
}
