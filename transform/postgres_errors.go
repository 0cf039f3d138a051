package transform

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// characters turns a place that the server counts in characters, from 0, into
// bytes.
func characters(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// failure puts an error into the terms of a task.
func (p *postgresDB) failure(err error) *failure {
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	var network *net.OpError
	var credential *credentialError
	var limit *limitError
	var result *resultError
	switch {
	case errors.As(err, &limit):
		return failed(classTooLarge, limit.message)
	case errors.As(err, &result):
		return failed(classResult, result.message)
	case errors.As(err, &credential):
		return failed(classCredential, credential.message)
	case errors.As(err, &server):
		return serverFailure(p.target, server)
	case errors.As(err, &connect) && errors.As(err, &network):
		return failed(classConnect, p.target.name+": "+network.Error())
	case errors.As(err, &connect):
		return failed(classConnect, p.target.name+": no connection")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failed(classClosed, "cut off")
	}
	return failed(classClosed, p.target.name+": the connection ended")
}

// tooManyConnections is the one of the server's limits that others take up.
const tooManyConnections = "53300"

// serverFailure is an error in the server's own words.
func serverFailure(t *target, e *pgconn.PgError) *failure {
	f := failed(classSQL, e.Message)
	f.code = "SQLSTATE " + e.Code
	switch {
	case strings.HasPrefix(e.Code, "23"):
		f.class = classConstraint
	case e.Code == "40001", e.Code == "40P01":
		f.class = classConflict
	case e.Code == "55P03":
		f.class = classLocked
	case e.Code == "57014":
		f.class, f.code = classTimeout, ""
	case strings.HasPrefix(e.Code, "28"), e.Code == "3D000":
		f.class = classCredential
	case strings.HasPrefix(e.Code, "53") && e.Code != tooManyConnections:
		f.class = classFull
	case e.Code == tooManyConnections, strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "08"), e.Code == "25P03":
		f.class = classConnect
	}
	if f.class != classSQL && f.class != classConstraint {
		f.message = t.name + ": " + f.message
	}
	if e.Position > 0 {
		f.offset = int(e.Position) - 1
	}
	if e.Hint != "" {
		f.message += "; " + e.Hint
	}
	return f
}
