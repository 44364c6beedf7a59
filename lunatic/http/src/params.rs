//! Path parameters as typed values.

use std::str::FromStr;

use http::StatusCode;

use crate::bad_input::BadInput;
use crate::request::Request;

impl Request {
    /// Parses the part of the path that stands for `{name}` in the [route](crate::Router).
    ///
    /// # Errors
    ///
    /// 404 if the text cannot be parsed, because no resource has that path. 500 if the route has no parameter of that name,
    /// which is an error in the program.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::{BadInput, Body, Handler, Method, Request, Router, Uri};
    ///
    /// fn user(request: Request) -> Result<String, BadInput> {
    ///     let id: u32 = request.param_as("id")?;
    ///     Ok(format!("user {id}"))
    /// }
    ///
    /// let app = Router::new().get("/users/{id}", user);
    /// let ask = |path| app.handle(Request::new(Method::GET, Uri::from_static(path), Body::empty())).status();
    /// assert_eq!(ask("/users/7"), 200);
    /// assert_eq!(ask("/users/seven"), 404);
    /// ```
    pub fn param_as<T: FromStr>(&self, name: &str) -> Result<T, BadInput> {
        let Some(text) = self.params.get(name) else {
            return Err(BadInput::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the route has no parameter `{name}`"),
            ));
        };
        text.parse().map_err(|_| {
            BadInput::new(
                StatusCode::NOT_FOUND,
                format!("not found: `{name}` in the path has an invalid value"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::router::{Handler, Router};

    #[test]
    fn parameters_are_values_or_404() {
        let app = Router::new()
            .get("/u8/{n}", |r: Request| -> Result<String, BadInput> {
                Ok(r.param_as::<u8>("n")?.to_string())
            })
            .get("/char/{c}", |r: Request| -> Result<String, BadInput> {
                Ok(r.param_as::<char>("c")?.to_string())
            })
            .get("/none", |r: Request| -> Result<String, BadInput> { r.param_as("n") });
        for (path, status) in [
            ("/u8/255", 200),
            ("/u8/256", 404),
            ("/u8/-1", 404),
            ("/u8/1%30", 200),
            ("/char/%E2%82%AC", 200),
            ("/char/ab", 404),
            ("/none", 500),
        ] {
            let request = Request::new("GET".parse().unwrap(), path.parse().unwrap(), Body::empty());
            assert_eq!(app.handle(request).status(), status, "{path}");
        }
    }
}
