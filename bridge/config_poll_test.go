package bridge

import (
	"strings"
	"testing"
)

func TestALongestPollIntervalBelowTheShortestIsAFault(t *testing.T) {
	t.Parallel()
	const text = `
org: contoso
webapi: {url: http://crm.contoso.example}
nats: {urls: ["nats://a:4222"]}
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name], poll: 10s, poll_max: MOST}
`
	_, err := ParseConfig("poll.yaml", []byte(strings.Replace(text, "MOST", "5s", 1)))
	if err == nil || !strings.Contains(err.Error(), "poll_max: shorter than poll, which is 10s") {
		t.Errorf("error %v", err)
	}
	cfg, err := ParseConfig("poll.yaml", []byte(strings.Replace(text, "MOST", "10s", 1)))
	if err != nil || cfg.Outbound.Tables[0].PollMax != cfg.Outbound.Tables[0].Poll {
		t.Errorf("%v, %v", cfg.Outbound.Tables, err)
	}
}
