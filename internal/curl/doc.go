// Package curl reads command lines of curl, as browsers copy them and manuals
// show them, into the request that they make.
package curl
