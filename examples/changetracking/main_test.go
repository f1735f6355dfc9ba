package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheStreamGainsExactlyTheTwelveChanges(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, then, err := run(ctx, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var loaded, changed []change
	for i := range 10 {
		loaded = append(loaded, change{"loaded", fmt.Sprintf("BookCode%d", i)})
		changed = append(changed, change{"created", fmt.Sprintf("BookCode%d", i+10)})
	}
	changed = append(changed, change{"updated", "BookCode0"}, change{"deleted", "BookCode1"})
	for _, c := range []struct {
		what      string
		got, want []change
	}{{"first read", first, loaded}, {"changes", then, changed}} {
		order := func(a, b change) int {
			if a.Kind != b.Kind {
				return strings.Compare(a.Kind, b.Kind)
			}
			return strings.Compare(a.Code, b.Code)
		}
		slices.SortFunc(c.got, order)
		slices.SortFunc(c.want, order)
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", c.what, c.got, c.want)
		}
	}
}
