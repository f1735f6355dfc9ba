package bridge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

func TestAFullFileSetsEveryField(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_SECRET", "s3cret: #x")
	t.Setenv("CEBRIDGE_TEST_KEY", "0123456789abcdef")
	got, err := LoadConfig(filepath.Join("testdata", "config", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secret := NewSecret("s3cret: #x")
	want := Config{
		Org: "contoso", Prefix: "acme", Provision: "verify", ShutdownGrace: 10 * time.Second,
		WebAPI: WebAPIConfig{
			URL: "https://contoso.crm4.dynamics.com", Version: "v9.1", Timeout: 30 * time.Second, MaxInFlight: 10, HTTP2: true, DailyRequests: 40000, DailyInboundPercent: 60, BatchMax: 100, BatchLinger: 5 * time.Millisecond, ResolveTTL: time.Hour,
			Auth: AuthConfig{
				Method:   "client_credentials",
				TokenURL: "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token",
				ClientID: "00000000-0000-0000-0000-000000000001", ClientSecret: secret,
			},
			TLS:   TLSConfig{CAFile: "/etc/ssl/contoso.pem", CertFile: "/etc/ssl/bridge.pem", KeyFile: "/etc/ssl/bridge.key"},
			Proxy: "http://outgoing.contoso.example:3128", PublisherPrefix: "contoso", Solution: "ContosoBridge",
		},
		NATS: NATSConfig{
			URLs: []string{"nats://a:4222", "tls://b:4222"}, User: "bridge", Password: secret, InboxPrefix: "_INBOX_bridge",
			TLS: TLSConfig{CAFile: "/etc/ssl/nats.pem", CertFile: "/etc/ssl/bridge.pem", KeyFile: "/etc/ssl/bridge.key"},
		},
		Stream: StreamConfig{Name: "EVENTS", Replicas: 3, HistoryPerRecord: -1, MaxBytes: 10 << 30},
		Outbound: OutboundConfig{
			TypePrefix: "com.contoso.crm", SourcePrefix: "/contoso", SchemaBase: "https://schemas.contoso.example",
			HashKey:    NewSecret("0123456789abcdef"),
			ClaimCheck: &ClaimCheckConfig{Bucket: "LARGE", Above: 512 << 10, TrimEvery: 10 * time.Minute},
			Tables: []TableConfig{{
				Table: "account", Columns: []string{"name", "accountnumber", "primarycontactid", "ownerid"}, Poll: 2 * time.Second, PollMax: 20 * time.Second, PageSize: 1000,
				Start: outbound.StartNow, Mode: event.Binary, MaxDeletes: 500, Echo: outbound.EchoDrop,
				Previous: true, OnlyChanges: true, Ignore: []string{"modifiedon", "exchangerate"}, Filter: `record.?name.orValue("") != ""`,
				References: []ReferenceConfig{
					{Column: "primarycontactid", Keys: map[string][]string{"": {"emailaddress1"}}},
					{Column: "ownerid", Keys: map[string][]string{"systemuser": {"domainname"}}},
				},
			}, {
				Table: "contact", Columns: []string{"lastname", "emailaddress1"}, Poll: 5 * time.Second, PageSize: 5000,
				Start: outbound.StartLoad, Mode: event.Structured,
				Protect: map[string]schema.Protection{"emailaddress1": schema.ProtectHash, "lastname": schema.ProtectMask},
			}},
		},
		Inbound: InboundConfig{
			Streams: []SourceStream{{Name: "ERP", Subjects: []string{"erp.>"}}},
			Routes: []RouteConfig{{
				Name: "customers", Stream: "ERP", Subjects: []string{"erp.customer.>"}, Start: "2026-01-31T08:00:00Z",
				Format:    inbound.FormatJSON,
				PlainType: "com.example.customer", Unmatched: inbound.UnmatchedDeadLetter, Concurrency: 8,
				AckWait: 20 * time.Second, Receipts: "erp.receipts", Shadow: true, GiveUp: time.Hour,
				Verdicts:  map[string]string{"0x80040265": "retry"},
				ParkAfter: 5 * time.Second, AmbiguityBound: time.Minute, StopAfter: 50, Redact: []string{"name"},
				Example: []byte(`{"id": "4711", "name": "Contoso", "region": "N"}`),
				Schema:  []byte(`{"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "region": {"enum": ["N", "S"]}}}`),
			}},
		},
		Admin: AdminConfig{Listen: "0.0.0.0:8080", AllowRemote: true, AllowedHosts: []string{"bridge.contoso.example"}},
		Doorbell: DoorbellConfig{Listen: "0.0.0.0:8443", Path: "/ring", Key: secret, Name: "x-ring-key", Gap: 5 * time.Second,
			Register: RegisterConfig{URL: "https://bridge.contoso.example/ring", Auth: "header"}},
	}
	opts := []cmp.Option{
		cmp.AllowUnexported(Secret{}), cmpopts.IgnoreUnexported(TableConfig{}, RouteConfig{}),
		cmpopts.IgnoreFields(RouteConfig{}, "Mapping"), cmpopts.IgnoreFields(InboundConfig{}, "Codes"),
	}
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		t.Error(diff)
	}
	if got.Inbound.Codes["region"] == nil || len(got.Inbound.Codes) != 1 {
		t.Errorf("codes = %v", got.Inbound.Codes)
	}
	if m := got.Inbound.Routes[0].Mapping; m == nil || m.Table() != "account" {
		t.Errorf("mapping = %v", m)
	}
}

func TestEveryConfigErrorIsReportedAtOnceWithItsPlace(t *testing.T) {
	_, err := ParseConfig("bad.yaml", []byte(`org: con toso
webapi:
  url: ftp://contoso
  versoin: v9.2
  auth:
    method: client_credentials
    client_secret: hunter2
nats:
  embedded: {port: 99999}
  urls: [nats://user:pw@a]
outbound:
  tables:
    account:
      poll: 1ms
      page_size: 0
inbound:
  routes:
    erp:
      subjects: ["erp..x", "$JS.>"]
      start: yesterday
      format: json
      table: account
      key: {accountnumber: data.id}
`))
	var ps schema.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("not problems: %v", err)
	}
	var got []string
	for _, p := range ps {
		got = append(got, p.Error())
	}
	want := []string{
		`bad.yaml:1:6: org: use 1 to 64 letters, digits, '_' or '-'`,
		`bad.yaml:3:8: webapi.url: the URL must begin with https:// (or http:// on an intranet)`,
		`bad.yaml:4:3: webapi.versoin: unknown field; did you mean version?`,
		`bad.yaml:6:5: webapi.auth.tenant: required: the tenant, or token_url`,
		`bad.yaml:6:5: webapi.auth.client_id: required for client_credentials`,
		`bad.yaml:7:20: webapi.auth.client_secret: a secret must not stand in the file; write ${NAME} or ${file:/path}`,
		`bad.yaml:9:20: nats.embedded.port: 99999 is outside -1 to 65535`,
		`bad.yaml:10:9: nats.urls: give either embedded or urls`,
		`bad.yaml:10:9: nats.urls: every server is written as nats://host:port or tls://host:port, without a user`,
		`bad.yaml:12:3: outbound.type_prefix: required: how every event type begins, in reverse-DNS form, such as com.contoso.crm`,
		`bad.yaml:14:7: outbound.tables.account.columns: required: list the columns to publish; which data leaves the system is a choice`,
		`bad.yaml:14:13: outbound.tables.account.poll: 1ms is outside 100ms to 24h0m0s`,
		`bad.yaml:15:18: outbound.tables.account.page_size: 0 is outside 1 to 5000`,
		`bad.yaml:19:7: inbound.routes.erp.stream: required: the stream to read from`,
		`bad.yaml:19:7: inbound.routes.erp.plain_type: required with format json: the event type to give to plain messages`,
		`bad.yaml:19:17: inbound.routes.erp.subjects: "erp..x": a token between dots is empty`,
		`bad.yaml:19:17: inbound.routes.erp.subjects: "$JS.>": subjects that begin with $ belong to the server`,
		`bad.yaml:20:14: inbound.routes.erp.start: write new, all, or a time such as 2026-01-31T08:00:00Z`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the secret stands in the error")
	}
}

func TestURLsThatCouldMisleadAreRefused(t *testing.T) {
	for _, u := range []string{
		"contoso.crm4.dynamics.com", "https://", "https://user:pw@contoso.example", "https://contoso.example?x=1",
		"https://contoso.example#f", "https://contoso.example.", "https://contoso.example/api/data/v9.2",
		"https://cont\u043eso.example", "javascript:alert(1)",
	} {
		if checkURL(u) == "" {
			t.Errorf("%s was accepted", u)
		}
	}
	for _, u := range []string{"https://contoso.crm4.dynamics.com", "http://server/CONTOSO", "https://10.0.0.1:444/x"} {
		if text := checkURL(u); text != "" {
			t.Errorf("%s was refused: %s", u, text)
		}
	}
}

func TestASecretNeverPrints(t *testing.T) {
	s := NewSecret("canary-7719")
	cfg := DefaultConfig()
	cfg.WebAPI.Auth.ClientSecret = s
	cfg.NATS.Password = s
	for _, text := range []string{
		fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", s), fmt.Sprintf("%s %q %v", s, s, s), cfg.WebAPI.Auth.ClientSecret.String(),
	} {
		if strings.Contains(text, "canary") {
			t.Errorf("printed: %s", text)
		}
	}
	if b, _ := s.MarshalText(); strings.Contains(string(b), "canary") {
		t.Error("marshalled")
	}
}

func TestAFileThatCannotBeReadIsAProblemNotAPanic(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir} {
		var ps schema.Problems
		if _, err := LoadConfig(path); !errors.As(err, &ps) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte("a: "+strings.Repeat("x", 2<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(big); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("big file: %v", err)
	}
}

func FuzzParseConfigNeverPanics(f *testing.F) {
	full, err := os.ReadFile(filepath.Join("testdata", "config", "full.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte("org: x\nnats: embedded\nwebapi: {url: http://a}\noutbound: {tables: {a: {columns: [b]}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := ParseConfig("f.yaml", data)
		if err == nil {
			if _, err := New(cfg); err != nil {
				t.Errorf("a file without problems was refused: %v", err)
			}
		}
	})
}

func TestNamesOfEventsAndAddressesAreCheckedInTheFile(t *testing.T) {
	base := "org: contoso\nwebapi: {url: http://a}\nnats: embedded\noutbound:\n  type_prefix: %s\n  source_prefix: %s\n  schema_base: %s\n" +
		"  tables:\n    account:\n      columns: [name]\nprefix: %s\nadmin: {listen: \"%s\"}\nstream: {max_bytes: %s}\n"
	good := []any{"com.contoso.crm", "/contoso", "https://schemas.contoso.example", "crm", "127.0.0.1:0", "-1"}
	if _, err := ParseConfig("f.yaml", fmt.Appendf(nil, base, good...)); err != nil {
		t.Fatalf("the good one was refused: %v", err)
	}
	for i, bad := range []string{"com..contoso", "con toso", "schemas", "crm-dead", "0.0.0.0:80", "-2"} {
		with := append([]any{}, good...)
		with[i] = bad
		var ps schema.Problems
		if _, err := ParseConfig("f.yaml", fmt.Appendf(nil, base, with...)); !errors.As(err, &ps) || len(ps) != 1 || ps[0].Line == 0 {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
