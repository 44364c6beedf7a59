//! What a life needs of sockets, which are not modelled.

pub(crate) mod handles {
    pub(crate) enum Refusal {
        Ended,
        Process(u32),
    }
}
