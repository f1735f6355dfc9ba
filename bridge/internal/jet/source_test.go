package jet

import (
	"errors"
	"strings"
	"testing"

	"cebridge/outbound"
)

func TestASourceStreamBelongsToItsOwner(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	ensure := func(mode Mode, subjects ...string) error {
		return c.EnsureSourceStream(t.Context(), mode, source, subjects, 1)
	}
	if there, err := c.StreamExists(t.Context(), source); there || err != nil {
		t.Errorf("before: %v, %v", there, err)
	}
	if err := ensure(ProvisionVerify, "erp.>"); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("verify of nothing: %v", err)
	}
	if err := ensure(ProvisionApply, "erp.>"); err != nil {
		t.Fatal(err)
	}
	if there, err := c.StreamExists(t.Context(), source); !there || err != nil {
		t.Errorf("after: %v, %v", there, err)
	}
	for _, mode := range []Mode{ProvisionVerify, ProvisionApply} {
		if err := ensure(mode, "erp.>"); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if err := ensure(mode, "erp.>", "shop.>"); !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), "shop.>") {
			t.Errorf("%s with another subject: %v", mode, err)
		}
	}
}
