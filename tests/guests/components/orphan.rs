//! A handler of HTTP requests that asks `lunatic:process` for its parent. The test makes a component of this program.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Handler;

wasip2::http::proxy::export!(Handler);

fn main() {}

impl Guest for Handler {
    fn handle(_: IncomingRequest, place: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(if has_parent() { 500 } else { 204 }).unwrap();
        let body = response.body().unwrap();
        ResponseOutparam::set(place, Ok(response));
        let _ = OutgoingBody::finish(body, None);
    }
}

fn has_parent() -> bool {
    #[link(wasm_import_module = "lunatic:process/process@0.1.0")]
    unsafe extern "C" {
        fn parent(out: *mut [u32; 2]);
    }
    let mut out = [0; 2];
    // SAFETY: the result is an option of a handle: a byte that says whether there is one, and the handle.
    unsafe { parent(&mut out) };
    out[0] & 0xff != 0
}
