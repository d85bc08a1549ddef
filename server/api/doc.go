// Package api serves the gRPC services. A handler takes the caller from the context, calls one domain method and converts the
// answer; it decides nothing. The guard around all handlers (interceptors.go) authenticates, authorises by the one table of
// package access, and translates errors (errors.go). Package server wires it.
package api
