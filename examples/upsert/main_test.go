package main

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestThirteenProductsAreCreatedAndThenSixUpdated(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	receipts, err := run(ctx, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	codes := func(effect string, of []receipt) (list []string) {
		for _, r := range of {
			if r.Effect != effect {
				t.Errorf("%s was %s, want %s", r.Code, r.Effect, effect)
			}
			list = append(list, r.Code)
		}
		slices.Sort(list)
		return list
	}
	want := func(of []product) (list []string) {
		for _, p := range of {
			list = append(list, p.Code)
		}
		slices.Sort(list)
		return list
	}
	if len(receipts) != 19 {
		t.Fatalf("%d receipts, want 19", len(receipts))
	}
	if got := codes("created", receipts[:13]); !slices.Equal(got, want(newProducts)) {
		t.Errorf("created %v", got)
	}
	if got := codes("updated", receipts[13:]); !slices.Equal(got, want(changedProducts)) {
		t.Errorf("updated %v", got)
	}
}
