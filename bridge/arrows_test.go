package bridge_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms lists what each room may import of this module. A room not listed may
// not exist; "..." at the end stands for everything below.
var rooms = map[string][]string{
	"docs":                      {},
	"schema":                    {},
	"schema/echo":               {"schema"},
	"schema/event":              {"schema", "schema/rawjson"},
	"schema/mapping":            {"schema", "schema/outcome"},
	"schema/outcome":            {},
	"schema/rawjson":            {},
	"schema/telemetry":          {},
	"outbound":                  {"schema", "schema/echo", "schema/event", "schema/outcome", "schema/rawjson", "schema/telemetry"},
	"outbound/logtest":          {"outbound", "schema"},
	"inbound":                   {"schema", "schema/event", "schema/outcome", "schema/telemetry"},
	"bridge/internal/http1":     {},
	"bridge/internal/webapi":    {"schema", "schema/outcome", "schema/telemetry", "outbound", "inbound", "bridge/internal/http1"},
	"bridge/internal/jet":       {"schema", "schema/event", "schema/outcome", "schema/telemetry", "outbound", "inbound"},
	"bridge/internal/natsproxy": {},
	"bridge/internal/yamltree":  {"schema"},
	"bridge/sim":                {"schema"},
	"bridge/admin":              {"schema"},
	"bridge":                    {"schema/...", "outbound", "inbound", "bridge/internal/...", "bridge/admin", "schema", "docs"},
	"bridge/demo":               {"bridge/...", "bridge", "schema/...", "schema", "inbound", "outbound"},
	"bridge/soak":               {"bridge/...", "bridge", "schema/...", "schema", "inbound", "outbound"},
	"bridge/bench":              {"bridge/...", "bridge", "schema/...", "schema", "inbound", "outbound"},
	"cmd/cebridge":              {"bridge/...", "bridge", "schema/...", "schema"},
}

// closed lists modules that must not be linked into a room, at any depth.
var closed = map[string][]string{
	"schema":                 {"net/http", "os/exec", "github.com/nats-io/"},
	"schema/echo":            {"net/http", "github.com/nats-io/"},
	"schema/event":           {"net/http", "github.com/nats-io/"},
	"schema/mapping":         {"net/http", "github.com/nats-io/"},
	"outbound":               {"net/http", "github.com/nats-io/"},
	"inbound":                {"github.com/nats-io/"}, // OpenTelemetry's propagation names net/http types
	"bridge/sim":             {"github.com/nats-io/"},
	"bridge/internal/webapi": {"github.com/nats-io/"},
}

func goList(t *testing.T, format string, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-f", format}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func allowed(list []string, room string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		below, wild := strings.CutSuffix(a, "...")
		return a == room || wild && strings.HasPrefix(room, below)
	})
}

func TestARoomImportsOnlyRoomsBelowIt(t *testing.T) {
	module := goList(t, "{{.Path}}", "-m")[0] + "/"
	for _, line := range goList(t, `{{.ImportPath}} {{join .Imports " "}}`, module+"...") {
		fields := strings.Fields(line)
		room := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(room, "examples/") || strings.HasPrefix(room, "zz_") {
			continue
		}
		list, known := rooms[room]
		if !known {
			t.Errorf("%s is not a room of the house; add it here with its arrows", room)
			continue
		}
		for _, imp := range fields[1:] {
			if other, ours := strings.CutPrefix(imp, module); ours && !allowed(list, other) {
				t.Errorf("%s must not import %s", room, other)
			}
		}
	}
}

func TestTheCoreLinksNeitherTheNetworkNorNATS(t *testing.T) {
	module := goList(t, "{{.Path}}", "-m")[0] + "/"
	for room, bans := range closed {
		for _, dep := range goList(t, "{{.ImportPath}}", "-deps", module+room) {
			for _, ban := range bans {
				if dep == ban || strings.HasSuffix(ban, "/") && strings.HasPrefix(dep, ban) {
					t.Errorf("%s links %s", room, dep)
				}
			}
		}
	}
}
