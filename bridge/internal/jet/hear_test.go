package jet

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestWhoHearsASubjectGetsWhatIsPublishedUntilItStops(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	heard := make(chan string, 10)
	stop, err := c.Hear("crm.contoso.account.*", func(h map[string][]string, data []byte) {
		heard <- h["X"][0] + " " + string(data)
	})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(text string) {
		t.Helper()
		err := c.nc.PublishMsg(&nats.Msg{Subject: "crm.contoso.account.1", Header: nats.Header{"X": {"h"}}, Data: []byte(text)})
		if err == nil {
			err = c.nc.FlushTimeout(dialTimeout)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	publish("one")
	if got := <-heard; got != "h one" {
		t.Errorf("heard %q", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	publish("two")
	select {
	case got := <-heard:
		t.Errorf("heard %q after the end", got)
	default:
	}
	if _, err := c.Hear("crm..x", nil); err == nil {
		t.Error("a subject that is none was accepted")
	}
}
