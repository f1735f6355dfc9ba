package bridge

import (
	"errors"
	"strings"
	"testing"

	"cebridge/bridge/internal/webapi"
	"cebridge/schema"
)

const registered = `org: contoso
webapi: {url: "https://contoso.crm4.dynamics.com", solution: Bridge}
nats: embedded
outbound: {type_prefix: com.contoso.crm, tables: {account: {columns: [name]}, contact: {columns: [lastname]}}}
doorbell: {DOORBELL}
`

func TestTheWebhookCarriesTheDoorbellsKeyInAWayThatFitsItsName(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_KEY", "a-key-of-the-test")
	const url = `register: {url: "https://bell.contoso.example/doorbell"}`
	for doorbell, want := range map[string]webapi.WebhookAuth{
		url:                    webapi.WebhookKey,
		"name: x-ring, " + url: webapi.WebhookHeader,
		strings.Replace(url, "}", ", auth: query}", 1): webapi.WebhookQuery,
	} {
		cfg, err := ParseConfig("f.yaml", []byte(strings.Replace(registered, "DOORBELL", "key: '${CEBRIDGE_TEST_KEY}', "+doorbell, 1)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w, ok := b.webhook()
		if !ok || w.Auth != want || w.Secret != "a-key-of-the-test" || w.Param != cfg.Doorbell.Name || strings.Join(w.Tables, " ") != "account contact" ||
			w.URL != "https://bell.contoso.example/doorbell" || w.Solution != "Bridge" || w.Name != "cebridge crm contoso" {
			t.Errorf("%s: %+v", doorbell, w)
		}
	}
}

func TestAWebhookThatCannotRingIsAFaultOfTheFile(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_KEY", "a-key-of-the-test")
	const key = "key: '${CEBRIDGE_TEST_KEY}', "
	for doorbell, want := range map[string]string{
		`register: {url: "https://bell.contoso.example"}`:                                "doorbell.key: required with register",
		key + `register: {}`:                                                             "doorbell.register.url: required",
		key + `register: {url: "ftp://bell"}`:                                            "doorbell.register.url: the URL must begin with https://",
		key + `name: x-ring, register: {url: "https://bell.contoso.example", auth: key}`: "doorbell.register.auth: a WebhookKey is always called code",
	} {
		_, err := ParseConfig("f.yaml", []byte(strings.Replace(registered, "DOORBELL", doorbell, 1)))
		var ps schema.Problems
		if !errors.As(err, &ps) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", doorbell, err)
		}
	}
	for prefix, good := range map[string]bool{"cr1a2": true, "mscrm1": false, "a_b": false} {
		_, err := ParseConfig("f.yaml", []byte(strings.NewReplacer("solution: Bridge", "publisher_prefix: "+prefix, "doorbell: {DOORBELL}\n", "").Replace(registered)))
		if (err == nil) != good {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}
