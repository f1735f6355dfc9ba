//go:build !unix

package jet

// lockStore does nothing where the system has no advisory locks: there, starting
// two servers on one store is for the operator to avoid.
func lockStore(string) (unlock func(), err error) { return func() {}, nil }
