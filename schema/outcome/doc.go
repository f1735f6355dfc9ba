// Package outcome is the closed set of verdicts on a call to the Web API.
//
// A verdict is decided once, where the answer is read, from the error code
// first, the HTTP status second and the shape of the body last. Engines act on
// the verdict and never look at a status themselves. The reason is a word from
// a closed set, safe as a metric label and as the reason of a dead letter.
package outcome
