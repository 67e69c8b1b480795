package org.example.orders;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

import java.io.IOException;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.csrf.CsrfFilter;
import org.springframework.web.filter.OncePerRequestFilter;

/** Which scope a path needs. Every request is introspected: Spring keeps no answers. */
@Configuration
public class Security {
    @Bean
    SecurityFilterChain chain(HttpSecurity http) throws Exception {
        return http
                .authorizeHttpRequests(paths -> paths
                        .requestMatchers("/admin/**").hasAuthority("SCOPE_admin")
                        .anyRequest().hasAuthority("SCOPE_read"))
                .oauth2ResourceServer(server -> server.opaqueToken(token -> { }))
                // There are no cookies, so there is nothing that another site could make a browser send.
                .csrf(csrf -> csrf.disable())
                .addFilterBefore(new Unavailable(), CsrfFilter.class)
                .build();
    }

    /** Introspection that fails says nothing of the token: that is 503, and not the 500 that Spring makes of it. */
    static class Unavailable extends OncePerRequestFilter {
        @Override
        protected void doFilterInternal(
                HttpServletRequest request, HttpServletResponse response, FilterChain chain)
                throws ServletException, IOException {
            try {
                chain.doFilter(request, response);
            } catch (AuthenticationServiceException unknown) {
                response.setHeader("Retry-After", "1");
                response.setStatus(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
            }
        }
    }
}
