//! Bank: accounts that transfer money to each other, and receive nothing else until the other account has confirmed.

use std::time::Duration;

use lunatic::{Address, Mailbox, Process};
use serde::{Deserialize, Serialize};

use super::Random;
use crate::timed;

const ACCOUNTS: u64 = 1000;
/// What each account has at the beginning.
const BALANCE: i64 = 1000;

#[derive(Serialize, Deserialize)]
enum Order {
    /// The account is to transfer this amount, and then to tell the teller.
    Transfer(i64, Address<Order>),
    Deposit(i64, Address<Confirmed>),
    Close(Address<i64>),
}

#[derive(Serialize, Deserialize)]
struct Confirmed;

#[derive(Serialize, Deserialize)]
struct Transferred;

/// Has `n` amounts transferred between 1,000 accounts.
pub(crate) fn bank(n: u64) -> Duration {
    let (transferred, balances) = (Mailbox::<Transferred>::new(), Mailbox::<i64>::new());
    let teller = transferred.address();
    let spawn = |_| Address::of(Process::spawn(move || account(teller)).unwrap());
    let accounts: Vec<Address<Order>> = (0..ACCOUNTS).map(spawn).collect();
    let mut random = Random(123);
    timed(|| {
        for _ in 0..n {
            // Money goes to a later account only, so that accounts never wait for each other in a circle.
            let from = random.below(ACCOUNTS / 10 * 8);
            let to = from + 1 + random.below(ACCOUNTS - from - 1);
            let amount = 1 + random.below(100) as i64;
            accounts[from as usize].send(Order::Transfer(amount, accounts[to as usize]));
        }
        for _ in 0..n {
            let Transferred = transferred.receive();
        }
        let here = balances.address();
        accounts.iter().for_each(|account| account.send(Order::Close(here)));
        let sum: i64 = accounts.iter().map(|_| balances.receive()).sum();
        assert_eq!(sum, BALANCE * ACCOUNTS as i64);
    })
}

fn account(teller: Address<Transferred>) {
    let (orders, confirmations) = (Mailbox::<Order>::new(), Mailbox::<Confirmed>::new());
    let mut balance = BALANCE;
    loop {
        match orders.receive() {
            Order::Transfer(amount, to) => {
                balance -= amount;
                to.send(Order::Deposit(amount, confirmations.address()));
                let Confirmed = confirmations.receive();
                teller.send(Transferred);
            }
            Order::Deposit(amount, from) => {
                balance += amount;
                from.send(Confirmed);
            }
            Order::Close(to) => return to.send(balance),
        }
    }
}
