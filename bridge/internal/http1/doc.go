// Package http1 is an HTTP/1.1 client transport in which the caller's own goroutine writes
// the request and reads the answer. net/http's Transport keeps two goroutines a connection
// and hands every request over to them and back; for many small requests that is half of
// their price. The protocol itself is the standard library's (http.Request.Write,
// http.ReadResponse, crypto/tls): what is here is the pool of connections and the order of
// an exchange. A Pool is an http.RoundTripper, for http and https without a proxy.
//
// # Promises
//
//   - Connections: of one scheme and host at most MaxConns at once. Who waits for one is
//     served in turn, and stops waiting when its context ends. The one used last is used
//     first. One idle for IdleTimeout is closed, by one timer for the pool that runs only
//     while something is idle or was so since it was set. Making one takes 10 seconds at most, and 10 more for TLS. Errors
//     of either are returned as they are.
//   - Before an idle connection is used it is looked at, without waiting: one that the
//     server closed, or on which there are bytes that nobody asked for, also inside of TLS,
//     is closed and another one taken. One without a descriptor cannot be looked at, nor
//     any where Supported is false.
//   - httptrace: GetConn is called when a connection is asked for, GotConn when one is in
//     hand and before the first byte is written, for every try. Of the other hooks only those that
//     Request.Write calls and those of net.Dialer are.
//   - A request is sent again, on another connection and with its body from the beginning (nil, or
//     by GetBody), three times in all, if it failed on a connection that had been idle, and
//     either nothing of it was written, or it is a GET, HEAD or OPTIONS and no byte of an
//     answer came. Every other failure is returned: what was asked for may have been done.
//   - The end of the request's context ends all waiting at once: for a place, a connection,
//     TLS, writing, the answer's header and its body. The error is the context's cause.
//     A connection that a context cut is not used again.
//   - A request without a body leaves in one write if it is not larger than the buffer of 4
//     KiB, and so does one with a body in memory (GetBody is there). The caller writes these,
//     up to a body of 16 KiB; others, and those of unknown length, are written by a goroutine
//     beside, so that an early answer is seen. After an error of writing the answer is looked
//     for, half a second long. When the exchange is over, that goroutine has ended, or its
//     connection is cut and the body closed, so that its next step fails. After an error it
//     has ended if the body is in memory. The request's body is closed in every case.
//   - Answers: up to 16 of 1xx are skipped; 101 is an error. MaxHeaderBytes bounds the header. A connection is used
//     again only when the answer was read to its end, nothing is left over, the whole request
//     was written, and neither side asked to close. Close of a body before its end closes
//     the connection. Close may be called twice, and while Read runs.
//   - Compression is net/http's: gzip is asked for unless the caller set Accept-Encoding or
//     Range, or the method is HEAD, and such an answer is decoded while it is read. Damage is an error of Read.
//   - The caller's request is not changed. Headers and methods that are none are refused before anything is sent.
//
// # Bounds
//
// A connection has buffers of 4 KiB for reading and writing; while a body of unknown length or of more
// than 4 KiB is read it borrows 32 KiB more. A trailer is at most as long as the buffer.
//
// # What is left out
//
// HTTP/2, proxies, CONNECT, upgrades, waiting for "100 Continue" (the body follows at
// once), and the deprecated Request.Cancel. For these, and on systems without Supported, there is net/http's Transport.
package http1
