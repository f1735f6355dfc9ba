package bridge

import (
	"strings"
	"testing"
)

func TestHTTP2IsRefusedWithNTLM(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_SECRET", "secret")
	const text = `
org: contoso
webapi:
  url: https://crm.contoso.example/CONTOSO
  http2: %HTTP2%
  auth: {method: ntlm, user: 'CONTOSO\bridge', password: "${CEBRIDGE_TEST_SECRET}"}
nats: {urls: ["nats://a:4222"]}
outbound: {type_prefix: com.contoso.crm, tables: {account: {columns: [name]}}}
`
	_, err := ParseConfig("a.yaml", []byte(strings.Replace(text, "%HTTP2%", "true", 1)))
	if err == nil || !strings.Contains(err.Error(), "a.yaml:5:10: webapi.http2: not with auth.method ntlm") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseConfig("a.yaml", []byte(strings.Replace(text, "%HTTP2%", "false", 1))); err != nil {
		t.Errorf("switched off: %v", err)
	}
}
