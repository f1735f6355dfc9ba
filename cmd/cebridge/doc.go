// Command cebridge joins Microsoft Dynamics 365 Customer Engagement with NATS
// JetStream. It only reads flags, catches signals and chooses exit codes; the
// work is done by package bridge and the rooms below it.
//
// Data goes to standard output, everything said to a person or a log to standard
// error. Exit codes: 0 ok, 1 failure, 2 usage, 3 the plan has changes, 4 a check
// failed, 78 a faulty configuration.
package main
