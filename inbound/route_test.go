package inbound

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMessagesOfAKeyAreWrittenInOrderAndAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(ctx context.Context, key string, seq uint64, call int) error {
			// The later, the faster: only the lane keeps the order.
			sleep(ctx, time.Duration(100-seq)*time.Millisecond)
			return nil
		}
		for range 10 {
			h.b.publish("A")
			h.b.publish("B")
		}
		h.start()
		h.after(10 * time.Second)
		if left := h.b.unsettled(); len(left) != 0 {
			t.Errorf("not acknowledged: %v", left)
		}
		if diff := cmp.Diff([]uint64{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]uint64{2, 4, 6, 8, 10, 12, 14, 16, 18, 20}, h.crm.sequences("B")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int{Written: 20}, h.outcomes()); diff != "" {
			t.Error(diff)
		}

	})
}
