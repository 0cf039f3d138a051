// Package kvstore keeps data in JetStream's key-value buckets and object
// store: XCom values and run documents as projections of the ledger, large
// values, and credentials, which are sealed before they are stored.
package kvstore
